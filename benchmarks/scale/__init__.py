"""Rows by the million: time, memory and disk of summed features beside scikit-learn's streaming estimators.

python -m benchmarks.scale                           # 10^5, 10^6 and 10^7 rows of 90 columns
python -m benchmarks.scale rows=100000 dir=/tmp/scale
"""
