// A progress bar that draws over itself on a terminal, and leaves the terminal as it was, however
// the process ends by itself.

import { SingleBar } from 'cli-progress'

/** What the bar's format names. */
export type BarTexts = Readonly<Record<string, string | number>>

/** A bar on a terminal. */
export class TerminalBar {
  readonly #bar: SingleBar
  #total: number
  #done = 0
  #texts: BarTexts

  /** @param format as cli-progress has it. */
  constructor(stream: NodeJS.WriteStream, format: string, total: number, texts: BarTexts) {
    this.#bar = new SingleBar({
      stream, format, clearOnComplete: true, hideCursor: false, noTTYOutput: false,
      stopOnComplete: false, gracefulExit: false, barsize: 28, etaBuffer: 20,
    })
    this.#total = total
    this.#texts = texts
    process.on('exit', this.end)
    this.#draw()
  }

  update(done: number, texts: BarTexts, total = this.#total): void {
    this.#done = done
    this.#texts = texts
    this.#total = total
    this.#bar.setTotal(total)
    this.#bar.update(done, texts)
  }

  /** Has lines written where the bar stands; it comes again below them. */
  above(write: () => void): void {
    // Its end goes back to where it was drawn first: above these lines, if it were not drawn anew.
    this.#bar.stop()
    write()
    this.#draw()
  }

  readonly end = (): void => {
    process.off('exit', this.end)
    this.#bar.stop()
  }

  #draw(): void {
    this.#bar.start(this.#total, this.#done, this.#texts)
  }
}
