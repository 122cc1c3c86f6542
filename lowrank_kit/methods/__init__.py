"""Which ranks?"""
