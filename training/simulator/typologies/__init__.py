"""The fraud stories, one file each: a function from the cast of a world to payments nobody honest made.

Patterns follow public advisories (NPCI and RBI on collect requests, QR codes and account takeover; FATF on mules;
card networks on testing, bust-out merchants and first-party misuse). Rings differ in craft: the clumsy use one
device and one address, the careful change both, so that no single sign gives a story away.
"""
