"""The classification tables of the KEEL repository: tangent methods beside forests, boosting and SVC.

python -m benchmarks.small_tables             # all; resumable; writes docs/results/small_tables.md and .png
python -m benchmarks.small_tables sets=iris,wine methods=exact_ntk,forest
python -m benchmarks.small_tables page        # the page alone, from the results so far
python -m benchmarks.small_tables.explore     # options of the tangent kernels, on training rows alone
"""
