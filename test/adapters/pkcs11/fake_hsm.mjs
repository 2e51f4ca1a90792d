/** Stands in for the HSM process and misbehaves as the label of its key says. */
import { Buffer } from 'node:buffer'
import { closeSync, existsSync, writeFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { setInterval, setTimeout } from 'node:timers'
import { Channel } from '../../../src/adapters/backends/pkcs11/shared/channel.ts'

const pipe = new Socket({ fd: 3, readable: true, writable: true })
const channel = new Channel(pipe, {
  message: (message) => receive(message),
  broken: () => process.kill(process.pid, 'SIGKILL'),
})
let behaviour = ''
let folder = ''
let held = []
let mostHeld = 0

const identity = { keyType: 'AES-256', ckaId: Buffer.from('id'), checkValue: Buffer.from('abc') }
const answer = (id, sealing) =>
  channel.send({ type: 'done', id, result: { identity, bytes: Buffer.from(`answer ${id}`), sealing } })

function receive(message) {
  if (message.type === 'start') {
    behaviour = message.target.key.label
    folder = message.target.token.label
    if (behaviour === 'crashes at start') process.exit(3)
    if (behaviour === 'cannot serve') {
      return channel.send({
        type: 'failed',
        failure: { code: 'ERR_CONFIG_INVALID', text: 'no', replace: false },
      })
    }
    if (behaviour === 'is never ready') return
    if (behaviour === 'is ready once') {
      const mark = join(folder, 'was-ready')
      if (existsSync(mark)) return
      writeFileSync(mark, '')
    }
    if (behaviour === 'talks') process.stdout.write(`short\n${'x'.repeat(5000)}\nend\n`)
    return channel.send({ type: 'askLogin', tokenIdentity: folder })
  }
  if (message.type === 'grant') {
    if (behaviour === 'dies of a refusal') {
      channel.send({ type: 'loginRefused', text: 'refused' })
      return void setTimeout(() => process.exit(9), 50)
    }
    const logins = join(folder, 'logins')
    if (behaviour.startsWith('second login:')) {
      if (existsSync(logins)) {
        if (behaviour.includes('is refused')) channel.send({ type: 'loginRefused', text: 'refused' })
        return writeFileSync(join(folder, 'second-login'), '')
      }
      writeFileSync(logins, '')
    }
    channel.send({ type: 'loggedIn' })
    return channel.send({ type: 'capacity', calls: 2 })
  }
  const { id } = message
  switch (behaviour) {
    case 'writes garbage':
      return void writeSync(3, Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5]))
    case 'closes its channel':
      closeSync(3)
      return void setInterval(() => undefined, 1000)
    case 'crashes in a call':
      return process.abort()
    case 'never answers':
      return
    case 'says nonsense':
      channel.send('nonsense')
      channel.send({ type: 'done', id: id + 1000, result: { identity, bytes: Buffer.from('x') } })
      channel.send({ type: 'done', id, result: { identity: {}, bytes: Buffer.from('x') } })
      channel.send({ type: 'loggedIn' })
      return answer(id)
    case 'answers late':
      held.push(id)
      if (held.length === 2) held.forEach((each) => answer(each))
      return
    case 'answers slowly':
      held.push(id)
      mostHeld = Math.max(mostHeld, held.length)
      return void setTimeout(() => {
        held = held.filter((each) => each !== id)
        answer(id, { mechanism: 'none', why: String(mostHeld) })
      }, 5)
    case 'loses the device':
      return channel.send({
        type: 'error',
        id,
        failure: { code: 'ERR_BACKEND_UNAVAILABLE', text: 'gone', replace: true },
      })
    default:
      return answer(id)
  }
}
