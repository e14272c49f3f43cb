module.exports = {
  apps: [
    { name: 'nightly', script: './app/job.sh', cron_restart: '0 3 * * *', autorestart: false, watch: ['src'] },
    { name: 'seconds', script: './app/job.sh', cron: '*/30 * * * * *', stop_exit_codes: [0, '3'] },
    { name: 'off', script: './app/job.sh', cron_restart: 0, watch: false, vizion: false, pmx: true },
  ],
};
