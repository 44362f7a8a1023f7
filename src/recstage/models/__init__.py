"""Models: one file each, all behind the contract of `base`; `conf/model/*.yaml` names them."""
