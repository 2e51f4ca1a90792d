/** What becomes of the variables by which every program of Go can be told other authorities than those of its image? */
import { idle } from './flag.js'

const why =
  'Node.js trusts its own list, which has the public authorities; if the service has another one, name its certificate with the setting for it here, or in NODE_EXTRA_CA_CERTS, which adds a file to that list'

export const trustRows = ['SSL_CERT_FILE', 'SSL_CERT_DIR'].map((name) =>
  idle({ env: [name], kind: 'text' }, why),
)
