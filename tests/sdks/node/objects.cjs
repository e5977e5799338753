// Sets objects as the public Objects client for Node does, which is no longer to be had: `set` queues an object, a full
// queue of 100 is sent at once, and `flush` sends the rest. Unlike the described script it forgets no object.
// node objects.cjs URL WRITE_KEY COLLECTION COUNT
'use strict'
const http = require('node:http')

class Objects {
  constructor (writeKey, { host, flushAt = 100 }) {
    Object.assign(this, { writeKey, host, flushAt, queues: new Map(), sending: [] })
  }

  set (collection, id, properties) {
    const queue = this.queues.get(collection) ?? []
    this.queues.set(collection, queue)
    queue.push({ id, properties })
    if (queue.length >= this.flushAt) this.flush(collection)
  }

  flush (collection) {
    const objects = this.queues.get(collection) ?? []
    this.queues.delete(collection)
    if (objects.length > 0) this.sending.push(this.send({ collection, objects }))
    return Promise.all(this.sending)
  }

  send (batch) {
    const body = JSON.stringify(batch)
    return new Promise((resolve, reject) => {
      const request = http.request(new URL('/v1/set', this.host), {
        method: 'POST',
        auth: `${this.writeKey}:`,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': 'objects-node/1.2.0'
        }
      }, response => {
        let text = ''
        response.on('data', piece => { text += piece })
        response.on('end', () => {
          if (response.statusCode === 200 && JSON.parse(text).success) resolve()
          else reject(new Error(`${response.statusCode}: ${text}`))
        })
      })
      request.on('error', reject)
      request.end(body)
    })
  }
}

async function main ([host, writeKey, collection, count]) {
  const client = new Objects(writeKey, { host })
  for (let number = 0; number < Number(count); number++) {
    client.set(collection, String(number), { name: `Room ${number}`, geo: { city: 'Lihue' }, review_count: number })
  }
  await client.flush(collection)
}

main(process.argv.slice(2)).catch(error => {
  console.error(error)
  process.exit(1)
})
