// node tus_client.mjs MODULES ENDPOINT FILE PROTOCOL ABORT_AT — uploads a file with tus-js-client; after ABORT_AT bytes it
// stops and goes on with a second upload object, as a page that is loaded again would. Prints the upload's address.
import { createReadStream, statSync } from "node:fs"
import { createRequire } from "node:module"

const [, , modules, endpoint, file, protocol, abortAt] = process.argv
const tus = createRequire(`${modules}/x.js`)("tus-js-client")

function send(uploadUrl, stopAt) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(createReadStream(file), {
      endpoint,
      uploadUrl,
      protocol,
      uploadSize: statSync(file).size,
      chunkSize: 1 << 20,
      retryDelays: [0, 100],
      metadata: { filename: "from-js.npz", of: "dataset" },
      onError: reject,
      onSuccess: () => resolve([upload.url, true]),
      onChunkComplete: (size, sent) => {
        if (stopAt && sent >= stopAt) upload.abort().then(() => resolve([upload.url, false]))
      },
    })
    upload.start()
  })
}

let [url, done] = await send(undefined, Number(abortAt))
if (!done) [url, done] = await send(url, 0)
console.log(url)
