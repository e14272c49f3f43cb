// What `pmon demo` runs. Start it yourself with `pmon start ecosystem.config.js`.
module.exports = {
  apps: [
    {
      name: 'timeline-app',
      script: './server.js',
      instances: 16,
      exec_mode: 'cluster',
      kill_timeout: 3000,
      env: { PORT: 3001 }
    }
  ]
}
