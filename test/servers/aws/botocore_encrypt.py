"""Has a KMS encrypt with botocore, as a plugin in another language does.

Arguments: the endpoint, a name of the key, 32 bytes in base64, the encryption context as a JSON object or `null`.
Credentials come from the environment. Prints the CiphertextBlob in base64.
"""

import base64
import json
import sys

import boto3

endpoint, key, plaintext, context = sys.argv[1:]
kms = boto3.client("kms", endpoint_url=endpoint, region_name="eu-west-1")
pairs = json.loads(context)
more = {} if pairs is None else {"EncryptionContext": pairs}
answer = kms.encrypt(KeyId=key, Plaintext=base64.b64decode(plaintext), **more)
print(base64.b64encode(answer["CiphertextBlob"]).decode())
