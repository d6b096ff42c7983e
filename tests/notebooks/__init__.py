"""The notebooks are executed essays: the stored outputs are what the code says today."""
