"""The processes of the production profile: started, supervised, ended.

Never decides.
"""
