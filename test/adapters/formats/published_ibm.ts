/**
 * The value that IBM's documentation prints as a hexdump (IBM Cloud Private 3.2.0, "Encrypting Kubernetes secrets with Key
 * Management Service plug-in"), put together from what is known of it byte for byte. The 48 bytes behind the IV of its Cipher
 * are made up: nobody without IBM's HSM can open either.
 */

const json = JSON.stringify({
  ciphertext: 'EQiaJUZli3wj9reb63dn0BZ3m7QQROeysigqdv8OkD/4RhFZnsUL8F/IARoMFyX0',
  hash: '2RKDyl57RU3TQCvhbdeub/14z/sbXYZ37UaDHRcV6rTjO+wAWTRjYZNsjuVi9GUZuYr23ouuxDMZRPe+QEH0jA==',
  iv: 'AWflzAvBKeFGpv3bbbQ2cA==',
  version: '2.0.0',
})

export const WRAPPED_DEK = Buffer.from(json).toString('base64')
export const IV = Buffer.from('2a74f029be33ceed359767b47f432b5d', 'hex')
export const CIPHER = Buffer.concat([IV, Buffer.alloc(48, 0x5a)]).toString('base64')

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** 471 bytes: two messages. */
export const STREAM = Buffer.concat([
  hex('3c ff81 03 01'),
  hex('01 06'),
  Buffer.from('Secret'),
  hex('01 ff82 00'),
  hex('01 03'),
  hex('01 09'),
  Buffer.from('KpVersion'),
  hex('01 04 00'),
  hex('01 0a'),
  Buffer.from('WrappedDEK'),
  hex('01 0a 00'),
  hex('01 06'),
  Buffer.from('Cipher'),
  hex('01 0c 00'),
  hex('00 00'),
  hex('fe0197 ff82'),
  hex('01 02'),
  hex('01 fe0134'),
  Buffer.from(WRAPPED_DEK),
  hex('01 58'),
  Buffer.from(CIPHER),
  hex('00'),
])

/** 628 bytes: what kube-apiserver had from the plug-in. */
export const VALUE = Buffer.from(STREAM.toString('base64'))
