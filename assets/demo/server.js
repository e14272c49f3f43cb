// A small HTTP server with the habits of a real one: varying response times, some work, a cache that
// grows and is trimmed, log lines with levels, and now and then a warning on stderr.
'use strict'

const http = require('http')
const crypto = require('crypto')

const port = Number(process.env.PORT || 3001)
const instance = process.env.NODE_APP_INSTANCE || '0'
const cache = []
let served = 0

const log = (level, text) => console.log(`${level.padEnd(5)} ${text}`)
const warn = (text) => console.error(`WARN  ${text}`)

// Most answers take some milliseconds, a few take much longer.
function delay () {
  return Math.random() < 0.03 ? 120 + Math.random() * 250 : 3 + Math.random() * 25
}

function work () {
  let digest = crypto.randomBytes(32)
  const rounds = 200 + Math.floor(Math.random() * 1500)
  for (let i = 0; i < rounds; i++) digest = crypto.createHash('sha256').update(digest).digest()
  cache.push(Buffer.alloc(32 * 1024, digest))
  if (cache.length > 400) {
    cache.splice(0, 250)
    log('INFO', `cache trimmed to ${cache.length} entries`)
  }
  return digest.toString('hex')
}

const server = http.createServer((request, response) => {
  const started = process.hrtime.bigint()
  setTimeout(() => {
    const body = JSON.stringify({ instance, path: request.url, digest: work() })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
    const took = Number((process.hrtime.bigint() - started) / 1000000n)
    served++
    if (took > 200) warn(`slow answer: ${request.method} ${request.url} took ${took} ms`)
    else if (served % 4 === 0) log('INFO', `${request.method} ${request.url} 200 ${took} ms`)
    if (served % 97 === 0) log('DEBUG', `${served} answers, ${cache.length} cached`)
  }, delay())
})

server.listen(port, '127.0.0.1', () => log('INFO', `instance ${instance} listens on port ${port}`))

// Finish what is in flight, then end.
function end () {
  log('INFO', `instance ${instance} ends after ${served} answers`)
  server.close(() => process.exit(0))
  if (server.closeIdleConnections) server.closeIdleConnections()
  setTimeout(() => process.exit(0), 1000).unref()
}
process.once('SIGINT', end)
process.once('SIGTERM', end)
