"""Drives a KMS, and STS before it, with botocore, the client library that AWS CLI is made of.

Arguments: the endpoint, the ARN of a key, the ARN of another. Credentials come from the environment.
Prints one JSON object: what became of each step, by its name.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, arn, other = sys.argv[1:]
kms = boto3.client(
    "kms",
    endpoint_url=endpoint,
    region_name="eu-west-1",
    config=Config(retries={"total_max_attempts": 1}),
)
CONTEXT = {"cluster": "a"}
outcomes = {}


def step(name, work):
    try:
        outcomes[name] = work()
    except ClientError as error:
        outcomes[name] = error.response["Error"]["Code"]


def there_and_back():
    sealed = kms.encrypt(KeyId=arn, Plaintext=b"x" * 32, EncryptionContext=CONTEXT)
    opened = kms.decrypt(
        KeyId=arn, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT
    )
    return [opened["Plaintext"] == b"x" * 32, opened["KeyId"] == arn, len(opened["KeyMaterialId"])]


def blob():
    return kms.encrypt(KeyId=arn, Plaintext=b"x" * 32, EncryptionContext=CONTEXT)["CiphertextBlob"]


step("there and back", there_and_back)
step("describe", lambda: kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"])
step("rotation", lambda: kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"])
step("other context", lambda: str(kms.decrypt(KeyId=arn, CiphertextBlob=blob())))
step(
    "other key",
    lambda: str(kms.decrypt(KeyId=other, CiphertextBlob=blob(), EncryptionContext=CONTEXT)),
)
step("no such key", lambda: str(kms.describe_key(KeyId="alias/none")))
step("too long", lambda: str(kms.encrypt(KeyId=arn, Plaintext=b"x" * 4097)))
print(json.dumps(outcomes))
