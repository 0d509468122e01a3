"""The way of one model, for Python and for the command line: data set, run, evaluation, bundle.

These functions stand at the top of the package, as :func:`snl_edge.train` and so on; ``snl-edge train`` and its kin
call them. Progress and messages go to stderr; ``snl_edge.progress.console.quiet = True`` keeps them off.
"""
