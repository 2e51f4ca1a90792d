"""PyKMIP's own client, which knows nothing of us, asks the fake of the tests what the plugin asks it."""
import json
import sys

from kmip.core import enums
from kmip.core.attributes import CryptographicParameters
from kmip.core.factories.attributes import AttributeFactory
from kmip.core.messages import messages, payloads
from kmip.core.messages.contents import Operation
from kmip.pie.client import ProxyKmipClient

ca, cert, key, port, version, uid, name = sys.argv[1:]
client = ProxyKmipClient(
    hostname="127.0.0.1",
    port=int(port),
    cert=cert,
    key=key,
    ca=ca,
    kmip_version=enums.KMIPVersion["KMIP_" + version.replace(".", "_")],
)
parameters = CryptographicParameters(
    cryptographic_algorithm=enums.CryptographicAlgorithm.AES,
    block_cipher_mode=enums.BlockCipherMode.GCM,
    tag_length=16,
)


def ask(operation, payload):
    """One operation; the calls of the library itself know nothing of associated data."""
    item = messages.RequestBatchItem(operation=Operation(operation), request_payload=payload)
    request = client.proxy._build_request_message(None, [item])
    return client.proxy._send_and_receive_message(request).batch_items[0]


def decrypt(data, tag, aad):
    return ask(
        enums.Operation.DECRYPT,
        payloads.DecryptRequestPayload(uid, parameters, data, bytes(12), aad, tag),
    )


make = AttributeFactory().create_attribute
with client:
    located = client.locate(
        attributes=[
            make(enums.AttributeType.NAME, name),
            make(enums.AttributeType.OBJECT_TYPE, enums.ObjectType.SYMMETRIC_KEY),
            make(enums.AttributeType.STATE, enums.State.ACTIVE),
        ]
    )
    _, attributes = client.get_attributes(uid, ["State", "Cryptographic Length", "Initial Date", "Name"])
    answer = ask(
        enums.Operation.ENCRYPT,
        payloads.EncryptRequestPayload(uid, parameters, b"x" * 32, bytes(12), b"associated"),
    ).response_payload
    sealed, tag = answer.data, answer.auth_tag
    opened = decrypt(sealed, tag, b"associated").response_payload.data
    refusal = decrypt(sealed, tag, b"others").result_reason.value.name
print(
    json.dumps(
        {
            "located": located,
            "attributes": {one.attribute_name.value: str(one.attribute_value) for one in attributes},
            "sealed": (sealed + tag).hex(),
            "opened": opened.decode(),
            "refusal": refusal,
        }
    )
)
