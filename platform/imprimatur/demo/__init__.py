"""The first five minutes: train, register, evaluate, gate and serve on real digits."""
