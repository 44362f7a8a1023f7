"""Neural collaborative filtering (He et al. 2017): GMF, MLP and NeuMF."""

from recstage.models.ncf.model import Ncf

__all__ = ["Ncf"]
