// What a shard's thread loads first: brings in the file that it is to run.
// Thread: shard. Memory: none.
// Never: runs anything of that file; the pool does, once it is here.
// Why CommonJS: the pool tries require() first. Required, a module of the other kind is handed over
// through a facade, and a thread that is ended in that moment takes the whole process with it (an
// assertion of Node). Imported from here it is not, and a thread may be ended at any time.

const { workerData } = require('node:worker_threads') as { readonly workerData: { file: string } }

module.exports = (import(workerData.file) as Promise<{ readonly default: unknown }>)
  .then((loaded) => loaded.default)
