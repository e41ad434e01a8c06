// What the threads of the doorbell storm share: for each ringer, rounds published and rounds seen.

/** What each ringer is given, with its own number. */
export interface StormTask {
  readonly bell: SharedArrayBuffer
  /** Word publishedWord(k): rounds that ringer k published; seenWord(k): those that were seen. */
  readonly rounds: SharedArrayBuffer
  readonly ringers: number
  readonly roundsMax: number
  readonly seed: number
}

export const publishedWord = (ringer: number): number => 2 * ringer
export const seenWord = (ringer: number): number => 2 * ringer + 1

export const allocateRounds = (ringers: number): SharedArrayBuffer =>
  new SharedArrayBuffer(2 * ringers * 4)
