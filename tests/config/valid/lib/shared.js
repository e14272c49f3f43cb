module.exports = { NODE_ENV: 'production', LOG_LEVEL: 'info' };
