"""pysup beside PM2, supervisord and circus: the same jobs, in one box, side by side in one run, as ratios."""
