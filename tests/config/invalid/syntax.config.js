module.exports = {
  apps: [
    { name: 'web', script: 'a.js',, },
  ],
};
