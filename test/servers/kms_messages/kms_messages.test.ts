/** The messages of the KMS APIs beside Go's own protobuf and Kubernetes' own types: what kube-apiserver reads and writes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { message, messageLike } from '../../adapters/grpc/wire/generators.js'
import { odditiesOf } from '../../adapters/grpc/wire/oddities.js'
import { contentOf, ourContent, referenceContent, subjects } from '../../adapters/grpc/wire/reference.js'
import { goProgram } from '../go_program.js'

/** Of each message. */
const SAMPLES = 20_000

const program = goProgram(import.meta.dirname, '', 'kms-messages')
const title = 'messages of the KMS APIs in Go'

describe.skipIf(program.missing !== undefined)(
  program.missing === undefined ? title : `${title} (skipped: ${program.missing})`,
  () => {
    describe.each(subjects.map((subject) => [subject.name, subject] as const))('%s', (name, subject) => {
      /** What Go read; `undefined` when it refused. */
      const goContents = (all: readonly Buffer[]) =>
        program
          .run(
            [],
            all.map((bytes) => `${name} ${bytes.toString('hex')}`),
          )
          .map((line) =>
            line === 'refused' ? undefined : referenceContent(subject, Buffer.from(line, 'hex')),
          )

      test('bytes that look like a message are read as Go reads them, or both refuse', () => {
        // In groups that nobody knows, Go lets field numbers pass that protobuf does not have.
        const samples = fc
          .sample(messageLike, { numRuns: SAMPLES })
          .filter((bytes) => !odditiesOf(bytes, subject.ours.fields).has('such a number in a group'))
        const contents = goContents(samples)
        for (const [i, bytes] of samples.entries()) {
          expect({ hex: bytes.toString('hex'), content: ourContent(subject, bytes) }).toEqual({
            hex: bytes.toString('hex'),
            content: contents[i],
          })
        }
      })

      test('what is written is read by Go, with each value as it was', () => {
        const samples = fc.sample(message(subject.ours.fields), { numRuns: 500 })
        // In this order: what is secret is wiped as it is written.
        const expected = samples.map(contentOf)
        expect(goContents(samples.map((values) => subject.ours.encode(values as never)))).toEqual(expected)
      })
    })
  },
)
