/** Which test shows that a fault of the plugins that we replace is not ours? Every one of them has at least one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** A fault of theirs, and where it is shown that we do not have it: files below test/ and titles in them. */
const faults: readonly (readonly [
  fault: string,
  shown: readonly (readonly [file: string, title: string])[],
])[] = [
  [
    'one health for all keys hides a dead one',
    [
      [
        'e2e/peers.test.ts',
        'peer bug 1: of two keys the dead one is seen in health, and the other one serves on',
      ],
      ['domain/plugin_group.test.ts', 'peer bug 1: one health for all keys hides a dead one'],
    ],
  ],
  [
    'only the API version that a flag names is looked at',
    [
      [
        'adapters/cli/peers/defaults.test.ts',
        'peer bug 2: no flag names the API whose health is looked at; every key is probed, whatever it says',
      ],
    ],
  ],
  [
    'Status says that it is not well and keeps its key id, so kube-apiserver goes on writing for ever',
    [
      ['domain/health.test.ts', 'what only an operator can end is told from the second probe on'],
      ['e2e/not_ready.test.ts', 'stops the writes of kube-apiserver after 3 minutes, and never its reads'],
    ],
  ],
  [
    'different keys have the same key id, or it is read beside the encryption and a rotation comes between',
    [
      [
        'contract/key_wrapper.ts',
        'does not recognize the key id of another KEK and does not unwrap under it',
      ],
      [
        'domain/rotation.test.ts',
        'a request that waits through a rotation answers with the key id that Status names then',
      ],
      [
        'e2e/rotation.test.ts',
        'under load: no Encrypt is refused, and none disagrees with the Status around it',
      ],
    ],
  ],
  [
    'the key id is an alias or a label that somebody can point elsewhere',
    [
      [
        'adapters/aws/wrapper.test.ts',
        'that is moved moves the key id; old values are of an unknown key until the old key is an entry',
      ],
    ],
  ],
  [
    'the example of an EncryptionConfiguration does not fit the API that the plugin speaks',
    [['examples.test.ts', 'names the socket of the example config and the API version of its title']],
  ],
  [
    'the socket cannot be made and the process runs on, deaf; or whatever lies at its path is removed',
    [
      ['e2e/socket.test.ts', 'waits, then gives up and says who is there; the first is not affected'],
      ['e2e/socket.test.ts', 'by another file is left to that file, and the log says so'],
    ],
  ],
  [
    'each Status asks the KMS, or fetches the key',
    [
      [
        'e2e/remote.test.ts',
        'values move to it from a local key, and the KMS is asked once for a DEK, never by Status',
      ],
      ['adapters/kmip/wrapper.test.ts', 'is never fetched'],
      ['adapters/kmip/native.test.ts', 'without the key material, which no operation asks for'],
      ['adapters/okms/native.test.ts', 'without the key material, which no question asks for'],
    ],
  ],
  [
    'a ciphertext that is too short ends the process',
    [
      ['domain/envelope_tampering.test.ts', 'every truncation is refused without a call'],
      ['adapters/formats/okms.test.ts', 'is refused, not run into, when it is shorter than its tag'],
      ['adapters/formats/okms.test.ts', 'is refused, not run into, when it is cut anywhere before its tag'],
      [
        'adapters/formats/ibm_kmsplugin.test.ts',
        'each value of the vectors, cut anywhere: before anybody is asked',
      ],
    ],
  ],
  [
    'CBC without a MAC, or with one of nothing',
    [
      ['domain/envelope_tampering.test.ts', 'every single bit flip is refused, at the price of its field'],
      [
        'adapters/formats/ibm_kmsplugin.test.ts',
        'where values without authentication are not allowed, before anybody is asked',
      ],
    ],
  ],
  [
    'the header of a JWE names another hash of RSA-OAEP than was used',
    [
      [
        'adapters/formats/k8s_kms_plugin.test.ts',
        'RSA-OAEP is opened with SHA-256 whatever hash the header names',
      ],
    ],
  ],
  [
    'health and metrics answer on every interface, and nobody is told',
    [
      [
        'adapters/cli/peers/documents.test.ts',
        'peer bug 19: health and metrics on all interfaces are never opened without a warning',
      ],
    ],
  ],
  [
    'a metric has a label that a request or an error message fills without bound',
    [['adapters/observability/prometheus_metrics.test.ts', 'outcomes that no table knows add no label']],
  ],
  [
    'secrets or plaintext stand in the log',
    [
      ['e2e/canaries.test.ts', 'on a local key file: neither plaintext nor KEK nor DEK'],
      ['e2e/remote.test.ts', 'neither plaintext nor what lets the plugin in shows in any output'],
      ['e2e/ibm_config.test.ts', 'shows neither plaintext nor its API key, though LOG_ALL_VALUES is on'],
    ],
  ],
  [
    'a PIN that was refused is sent again until the token locks, or the process sleeps for a year and looks alive',
    [
      [
        'e2e/pin_guard.test.ts',
        'is sent once over 20 starts, each ended by kill -9, and 20 checks; then the right one serves',
      ],
    ],
  ],
  [
    'Status is always ok, though the HSM or KMS is gone',
    [
      ['domain/health.test.ts', 'an outage leaves it at that: there is no key id to report'],
      [
        'e2e/remote.test.ts',
        'one that starts during an outage is refused work, and works when the KMS is there',
      ],
    ],
  ],
  [
    'one failed call ends the process, or a failed start goes round in circles',
    [
      ['e2e/remote.test.ts', 'a KMS that hangs does not hang Status, and each call ends in its time'],
      ['e2e/socket.test.ts', 'ends with an invalid configuration all the same'],
    ],
  ],
  [
    'systemd removes the folder of the socket at a restart, and the mount of kube-apiserver goes stale',
    [['examples.test.ts', 'keeps the folder of the socket over restarts, closed to others']],
  ],
  [
    'the example of a static pod uses what a static pod cannot have',
    [['examples.test.ts', 'uses nothing that a static pod cannot have: only folders of the node']],
  ],
  [
    'the key id is read and written by several threads at once',
    [
      [
        'domain/rotation.test.ts',
        'in any schedule of rotations, outages, delays and requests kube-apiserver is never led astray',
      ],
    ],
  ],
]

test.each(faults)('is there a test against this fault of others: %s?', (_, shown) => {
  expect(shown.length).toBeGreaterThan(0)
  for (const [file, title] of shown) {
    const source = readFileSync(join(import.meta.dirname, file), 'utf8')
    // A title may be broken over lines by a template, but each of these is one literal.
    expect(source, file).toContain(title)
  }
})
