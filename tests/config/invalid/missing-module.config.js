require('a-package-that-nobody-has');
module.exports = { apps: [] };
