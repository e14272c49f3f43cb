module.exports = async () => { throw new Error('vault is sealed'); };
