"""Messages about certificates and keys that OpenSSL rejects.

For most contents OpenSSL reports only that it finds nothing: the labels of their PEM
blocks state what they are. No message contains another part of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TRADITIONAL = "Proc-Type: 4,ENCRYPTED"
_LABELS = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_KEY_MATCHES_NOT = {
    "KEY_VALUES_MISMATCH": "the key does not match the certificate of {cert}",
    # OpenSSL has a place for a certificate of each type, and this key's is empty.
    **dict.fromkeys(
        ("NO_CERTIFICATE_ASSIGNED", "KEY_TYPE_MISMATCH"),
        "the key is of another type than the certificate of {cert}, as RSA and EC are;"
        " expected the key that the certificate was made for",
    ),
}
_REFUSED_CERTIFICATES = {
    "EE_KEY_TOO_SMALL": "the key of this certificate is too short for OpenSSL's"
    " security level on this machine; expected RSA with 2048 bits or more, or EC with"
    " 256",
    "CA_KEY_TOO_SMALL": "the key of an authority in this chain is too short for"
    " OpenSSL's security level on this machine; expected RSA with 2048 bits or more",
    **dict.fromkeys(
        ("EE_MD_TOO_WEAK", "CA_MD_TOO_WEAK"),
        "a signature in this chain uses a digest that is too weak for OpenSSL's"
        " security level on this machine, as SHA-1 is; expected SHA-256",
    ),
    "UNKNOWN_CERTIFICATE_TYPE": "OpenSSL supports no server with a key of this type;"
    " expected a certificate with RSA or EC",
}


# By the end of the label of a PEM block; the first match counts.
_NO_CERTIFICATES = {
    "PRIVATE KEY": "found a private key and no certificate; expected certificates in"
    " PEM form: are certificate and key swapped?",
    "CERTIFICATE REQUEST": "found a certificate request; expected the certificate that"
    " an authority made of it",
    "": "found no valid certificate; expected certificates in PEM form",
}
_NO_KEYS = {
    "OPENSSH PRIVATE KEY": "found a key in the format of OpenSSH; expected a private"
    " key in PEM form",
    "PRIVATE KEY": "the private key is damaged, or of a type that OpenSSL does not"
    " support; expected an RSA or EC key in PEM form",
    "CERTIFICATE": "found a certificate and no private key; expected a private key in"
    " PEM form: are certificate and key swapped?",
    "PUBLIC KEY": "found a public key; expected the private key in PEM form",
    "": "found no private key; expected one in PEM form, without a passphrase",
}


def of_certificate(text: str) -> str:
    """Return what is wrong with a text in which OpenSSL finds no certificate."""
    return _first(_NO_CERTIFICATES, text)


def of_refused_certificate(reason: str) -> str:
    """Return what is wrong with a certificate; empty: nothing, for this reason."""
    return _REFUSED_CERTIFICATES.get(reason, "")


def of_key(text: str, reason: str, cert_option: str) -> str:
    """Return what is wrong with the text of a key, for OpenSSL's reason."""
    if reason in _KEY_MATCHES_NOT:
        return _KEY_MATCHES_NOT[reason].format(cert=cert_option)
    if "ENCRYPTED PRIVATE KEY" in _LABELS.findall(text) or _TRADITIONAL in text:
        return (
            "the key is encrypted; expected a key without a passphrase, which `openssl"
            " pkey -in KEY -out NEW` writes"
        )
    return _first(_NO_KEYS, text)


def _first(messages: Mapping[str, str], text: str) -> str:
    labels = ["", *_LABELS.findall(text)]
    return next(
        message
        for end, message in messages.items()
        if any(label.endswith(end) for label in labels)
    )
