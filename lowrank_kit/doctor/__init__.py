"""Is this machine ready?

Nothing here imports a library when it is opened: the doctor must speak where one is missing or broken.
"""
