// A bounded table: a new entry replaces the one that was used least recently.

/** Values by name; both in the order of their last use. */
export class RecentlyUsed<T> {
  readonly #entriesMax: number
  readonly #entries = new Map<string, T>()

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  get(name: string): T | undefined {
    const value = this.#entries.get(name)
    if (value === undefined) return undefined
    this.#entries.delete(name)
    this.#entries.set(name, value)
    return value
  }

  set(name: string, value: T): void {
    this.#entries.delete(name)
    if (this.#entries.size >= this.#entriesMax) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(name, value)
  }

  clear(): void {
    this.#entries.clear()
  }
}
