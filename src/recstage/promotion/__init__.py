"""Whether a version may be promoted: evidence, gate, comparison and its report."""
