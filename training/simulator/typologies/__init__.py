"""The fraud typologies, one file each: a function from the context of a world to fraudulent payments.

Patterns follow public advisories (NPCI and RBI on collect requests, QR codes and account takeover; FATF on mules;
card networks on testing, bust-out merchants and first-party misuse). Rings differ in skill: clumsy ones use one
device and one address, careful ones change both, so that no single feature reveals a typology.
"""
