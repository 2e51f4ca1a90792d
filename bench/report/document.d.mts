export const PAGE: string
export function savedResults(): object
export function pageWith(page: string, results: object): Promise<string>
