/** AWS on a bad day: a pod that becomes a role by its token, all of it through the network that fails. */
import { randomUUID } from 'node:crypto'
import { openAws, useEnv } from '../support/aws_scene.js'
import { awsError, FakeAws } from '../support/fakes/aws.js'
import { remoteFaults, type RemoteSubject, type SubjectParts } from './remote_faults.js'

remoteFaults('aws', makeSubject, { sessions: true, credentials: true })

async function makeSubject({ cert, key, files }: SubjectParts): Promise<RemoteSubject> {
  const aws = await FakeAws.start({ cert, key })
  const kek = aws.addKey()
  const token = `pod-${randomUUID()}`
  const role = aws.addRole('kmsplugin', [token])
  const tokenFile = files.write(`token-${randomUUID()}`, token)
  const restore = useEnv({ AWS_ROLE_ARN: role.arn, AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile })
  return {
    server: aws.server,
    throttled: awsError('ThrottlingException', 'You have exceeded the rate'),
    unavailable: awsError('KMSInternalException', 'try later', 500),
    open: ({ url, caFile, logger, callTimeoutMs }) => {
      process.env['AWS_ENDPOINT_URL_STS'] = url
      return openAws({ keyId: kek.arn, endpoint: url, caFile }, { logger, callTimeoutMs })
    },
    endSessions: () => aws.endSessions(),
    changeCredentials: () => {
      const next = `pod-${randomUUID()}`
      role.tokens.clear()
      role.tokens.add(next)
      aws.identities.clear()
      return () => files.write(tokenFile.split('/').at(-1) ?? '', next)
    },
    secrets: () => [
      token,
      ...[...aws.identities.values()].flatMap(({ secretAccessKey, sessionToken = secretAccessKey }) => [
        secretAccessKey,
        sessionToken,
      ]),
    ],
    close: async () => {
      restore()
      await aws.close()
    },
  }
}
