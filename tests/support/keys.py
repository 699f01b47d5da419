"""Client keys as the gateway makes them: well formed, and known to nobody."""

import random
import zlib

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def made_up_key(chance=random.Random(7)):
    """`sk-cp-`, 43 random characters and the six of their checksum."""
    body = "".join(chance.choices(DIGITS, k=43))
    left, checksum = zlib.crc32(body.encode()), ""
    for _ in range(6):
        left, digit = divmod(left, 62)
        checksum = DIGITS[digit] + checksum
    return f"sk-cp-{body}{checksum}"
