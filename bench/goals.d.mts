export interface Goal {
  readonly figure: string
  readonly text: string
  readonly atLeast?: number
  readonly atMost?: number
  readonly noise?: string
}
export interface Figure {
  readonly median: number
  readonly low: number
  readonly high: number
}
export const goals: readonly Goal[]
export function judge(goal: Goal, figures: Readonly<Record<string, Figure>>): string
