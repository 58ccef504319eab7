"""Ridge regression in the primal and in the dual."""
