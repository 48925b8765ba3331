"""The proxy's own keys: those it was given, in their order, or throw-away keys made when a server's key asks for them.

A proxy's key must take the place of the server's in an announcement: the same type and size. So that an unconfigured
proxy works beside unconfigured peers, one without keys makes one of each kind that is asked for, once.
Source: UFTP 4.10.2, observed; throw-away keys: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workers.contract.uftp import CryptoSettings
from workers.errors import KeyRefused
from workers.uftp import keys, pem
from workers.uftp.curves import CURVES, Curve
from workers.uftp.framing import MAX_HEADER_BYTES
from workers.uftp.hashes import HASHES
from workers.uftp.keys import EcPrivateKey, EcPublicKey, PrivateKey, PublicKey
from workers.wire.reader import WORD_BYTES

Entropy = Callable[[int], bytes]

DEFAULT_RSA_BITS = 512
"""What the original programs make when they are told nothing."""
THROWAWAY_RSA_BITS = frozenset({512, 768, 1024, 1536, 2048, 3072, 4096})
"""A key of 4,096 bits takes a second: a stranger's announcements must not ask for every size there is."""
PRIME256V1, SHA256 = 23, 3
"""Numbers of the protocol: what groups use most."""
SHOWN_MAX_BYTES = MAX_HEADER_BYTES - 12 - max(curve.blob_bytes for curve in CURVES.values() if curve.make)
"""What PROXY_KEY, the message with the most beside them, leaves for a key and its signature."""


def can_be_shown(key: PrivateKey) -> bool:
    """Tell whether a key, a signature of it and an ECDH key have room in a message's header together."""
    return len(key.public.blob) + key.public.signature_bytes <= SHOWN_MAX_BYTES


class KeyRing:
    """Own signing keys, and the long-lived ECDH key of a response proxy.

    Raises KeyRefused for a key that no message can carry: one that is no whole number of words.
    """

    __slots__ = ("_configured", "_entropy", "_made", "ecdh")

    def __init__(self, configured: Sequence[PrivateKey], entropy: Entropy, ecdh: EcPrivateKey | None = None) -> None:
        for key in configured:
            if key.public.signature_bytes % WORD_BYTES:
                raise KeyRefused(f"{key.public.title}: not a multiple of 32, and so of no use in a message")
        self._configured = tuple(configured)
        self._entropy = entropy
        self._made: dict[int | Curve, PrivateKey] = {}
        self.ecdh = ecdh

    def first(self) -> PrivateKey | None:
        """Return the key that signs heartbeats and that a response proxy shows: the first, or the last one made.

        A key is passed over that has no room in a message beside its signature, as with RSA over 3,072 bits; None if
        that leaves nothing.
        """
        if self._configured:
            return next((key for key in self._configured if can_be_shown(key)), None)
        if not self._made:
            self._made[DEFAULT_RSA_BITS] = keys.make_rsa_key(DEFAULT_RSA_BITS, self._entropy)
        return next(reversed(self._made.values()))

    def fitting(self, server: PublicKey) -> PrivateKey | None:
        """Return the first own key of the type and size of a server's; None if there is none and none can be made."""
        if self._configured:
            return next((key for key in self._configured if keys.fits(key.public, server)), None)
        kind = server.curve if isinstance(server, EcPublicKey) else 8 * server.signature_bytes
        if kind not in self._made:
            made = self._make(kind)
            if made is None:
                return None
            self._made[kind] = made
        return self._made[kind]

    @property
    def configured(self) -> tuple[PrivateKey, ...]:
        """The keys that the proxy was given, in their order."""
        return self._configured

    @property
    def made(self) -> tuple[PrivateKey, ...]:
        """The throw-away keys made so far."""
        return tuple(self._made.values())

    def find(self, name: bytes) -> PrivateKey | None:
        """Return the own key with a fingerprint, None if there is none."""
        known = (*self._configured, *self._made.values())
        return next((key for key in known if keys.fingerprint_of(key.public) == name), None)

    def readopt(self, key: PrivateKey) -> bool:
        """Take a throw-away key that a predecessor has made in the place of one to be made; tell whether it is of use.

        Where keys are configured, or one of its kind is there already, it is not.
        """
        public = key.public
        kind = public.curve if isinstance(public, EcPublicKey) else 8 * public.signature_bytes
        if self._configured or kind in self._made:
            return False
        self._made[kind] = key
        return True

    def make_ecdh(self, curve: Curve) -> EcPrivateKey:
        """Return a new key for one group's key exchange. Raises KeyRefused: a curve the library lacks."""
        return keys.make_ec_key(curve, self._entropy)

    def _make(self, kind: int | Curve) -> PrivateKey | None:
        if isinstance(kind, Curve):
            return keys.make_ec_key(kind, self._entropy)
        return keys.make_rsa_key(kind, self._entropy) if kind in THROWAWAY_RSA_BITS else None


def warm(entropy: Entropy) -> None:
    """Use once what the library only loads when it is used first, some 20 ms: a worker's first group must not wait.

    To be called before the workers are forked, which then share it.
    """
    curve = CURVES[PRIME256V1]
    key = keys.make_ec_key(curve, entropy)
    key.public.verify(key.sign(b"", HASHES[SHA256]), b"", HASHES[SHA256])
    key.agree(keys.make_ec_key(curve, entropy).public)


def load(settings: CryptoSettings, entropy: Entropy) -> KeyRing:
    """Return the ring of the settings; a response proxy's ECDH key is made here.

    To be called once for all workers, before they are forked: clients learn a response proxy's keys from one of them
    and use them with all. Raises KeyRefused.
    """
    ecdh = None
    if settings.ecdh_curve is not None:
        curve = CURVES.get(settings.ecdh_curve)
        if curve is None:
            raise KeyRefused(f"unknown curve {settings.ecdh_curve}")
        ecdh = keys.make_ec_key(curve, entropy)
    return KeyRing([pem.decode_pem(text) for text in settings.keys], entropy, ecdh)
