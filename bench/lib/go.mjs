export async function goPrograms() {
  return undefined
}
