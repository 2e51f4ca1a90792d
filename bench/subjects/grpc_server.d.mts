export const SERVER_OPTIONS: Readonly<Record<string, number>>
