/** THE registration table: one line per format of another plugin. Their order decides nothing. */
import { signsOf, type DescribeForeign } from '../../ports/foreign.js'
import { awsEncryptionProvider } from './aws_encryption_provider.js'
import { azureKubernetesKms } from './azure_kubernetes_kms.js'
import { erased, type AnyFormat } from './format.js'
import { gcpCloudkmsPlugin } from './gcp_cloudkms_plugin.js'
import { ibmKmsplugin } from './ibm_kmsplugin.js'
import { k8sKmsPlugin } from './k8s_kms_plugin.js'
import { kubernetesKmsMock } from './kubernetes_kms_mock.js'
import { kubernetesLocalKek } from './kubernetes_local_kek.js'
import { okmsKmip } from './okms_kmip.js'
import { okmsRest } from './okms_rest.js'
import { openbaoKubernetesKms } from './openbao_kubernetes_kms.js'
import { vaultKubernetesKms } from './vault_kubernetes_kms.js'

export const formats: readonly AnyFormat[] = [
  erased(awsEncryptionProvider),
  erased(azureKubernetesKms),
  erased(gcpCloudkmsPlugin),
  erased(ibmKmsplugin),
  erased(k8sKmsPlugin),
  erased(kubernetesKmsMock),
  erased(kubernetesLocalKek),
  erased(okmsKmip),
  erased(okmsRest),
  erased(openbaoKubernetesKms),
  erased(vaultKubernetesKms),
]

export function formatOfName(name: string): AnyFormat | undefined {
  return formats.find((format) => format.name === name)
}

/** Explains by the format that knows the value by the surest sign. */
export const describeForeign: DescribeForeign = (value) => {
  for (const sign of signsOf(value)) {
    const format = formats.find((candidate) => candidate.recognize(value) === sign)
    if (format !== undefined) {
      return { format: format.name, writtenBy: format.writtenBy, ...format.explain(value) }
    }
  }
  return undefined
}
