// What is wrong with a configuration: each problem with its key, its source, the given value and
// the expected one. All problems are reported together.

/** One thing that stops the start. */
export interface Problem {
  /** The setting's name as its source spells it; empty when the problem is not with one setting. */
  readonly key: string
  /** `flag --port`, `environment`, `file sluice.yaml:3`. */
  readonly source: string
  /** The given value, shortened; undefined when the key itself is the problem. */
  readonly given?: string
  readonly expected: string
}

/** A checked value, or all that is wrong with it. */
export type Checked<T> = { ok: true; value: T } | { ok: false; problems: readonly Problem[] }

const GIVEN_CHARS_MAX = 80

/** A value as it is shown in a message: on one line and not too long. */
export function showGiven(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= GIVEN_CHARS_MAX ? text : `${text.slice(0, GIVEN_CHARS_MAX)}…`
}

function line(problem: Problem): string {
  const where = problem.key === '' ? problem.source : `${problem.key} (${problem.source})`
  return problem.given === undefined
    ? `${where}: ${problem.expected}`
    : `${where}: got ${problem.given}, expected ${problem.expected}`
}

/** The message that the start stops with; ends with a line break. */
export function formatProblems(problems: readonly Problem[]): string {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  return `sluice: ${count} in the configuration\n` +
    problems.map((problem) => `  ${line(problem)}\n`).join('')
}

/** The candidate that a mistyped name most likely means, or undefined. */
export function closest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let distanceMin = Math.max(2, Math.floor(name.length / 4)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < distanceMin) {
      best = candidate
      distanceMin = distance
    }
  }
  return best
}

/** "not a setting; did you mean port?" */
export function unknownText(name: string, candidates: readonly string[]): string {
  const guess = closest(name, candidates)
  return guess === undefined ? 'not a setting' : `not a setting; did you mean ${guess}?`
}

/** Levenshtein distance, row by row: ('prot', 'port') → 2, ('a', 'a') → 0, ('', 'ab') → 2. */
function editDistance(left: string, right: string): number {
  let above = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const replaced = (above[column - 1] as number) + (left[row - 1] === right[column - 1] ? 0 : 1)
      const inserted = (current[column - 1] as number) + 1
      const removed = (above[column] as number) + 1
      current.push(Math.min(replaced, inserted, removed))
    }
    above = current
  }
  return above[right.length] as number
}
