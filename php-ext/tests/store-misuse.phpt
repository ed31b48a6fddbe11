--TEST--
Misuse is refused with an exception that says what and where; classes cannot be had in any other way
--FILE--
<?php
require __DIR__ . '/store.inc';
set_error_handler(function ($number, $message) {
    echo "warned: $message\n";
});
ob_start(fn($text) => preg_replace('/; the options are server.*/', '; …', $text));
$store = local_store();
$cache = $store->cache('c');
$server = 'local:' . fresh_directory();
show([
    'no option' => fn() => Larder\Store::open([]),
    'unknown' => fn() => Larder\Store::open(['server' => $server, 'near_byte' => 1]),
    'no name' => fn() => Larder\Store::open([5 => 1]),
    'bad bytes' => fn() => Larder\Store::open(['server' => $server, 'near_bytes' => 'many']),
    'bad type' => fn() => Larder\Store::open(['server' => $server, 'near_bytes' => []]),
    'bool' => fn() => Larder\Store::open(['server' => $server, 'near_bytes' => true]),
    'time' => fn() => Larder\Store::open(['server' => $server, 'max_staleness' => NAN]),
    'scheme' => fn() => Larder\Store::open(['server' => 'ftp://x']),
    'bytes' => fn() => Larder\Store::open(['server' => "local:/\xff"]),
    'nul' => fn() => Larder\Store::open(['server' => "local:/tmp/a\0b"]),
    'secret' => fn() => Larder\Store::open(['server' => 'redis://user:sesame@x:99999']),
    'cache: none' => fn() => $store->cache(''),
    'cache: long' => fn() => $store->cache(str_repeat('c', 201)),
    'cache: nul' => fn() => $store->cache("a\0b"),
    'cache: bytes' => fn() => $store->cache("\xff"),
    'cache: unknown' => fn() => $store->cache('c', ['tll' => 1]),
    'cache: list' => fn() => $store->cache('c', [1]),
    'cache: ttl' => fn() => $store->cache('c', ['ttl' => 1.5]),
    'cache: near' => fn() => $store->cache('c', ['near' => 1]),
    'key: null' => fn() => $cache->get(null),
    'key: array' => fn() => $cache->set([], 1),
    'key: float' => fn() => $cache->delete(1.5),
    'key: bool' => fn() => $cache->has(true),
    'key: object' => fn() => $cache->getMany([new stdClass]),
    'key: long' => fn() => $cache->get(str_repeat("\xff", 65537)),
    'key: long, set' => fn() => $cache->set('k' . str_repeat('x', 65536), 1),
    'key: long, many' => fn() => $cache->setMany(['fine' => 1, str_repeat('x', 65537) => 2]),
    'nothing was set' => fn() => $cache->keys(),
    'closure' => fn() => $cache->set('k', fn() => 1),
    'cache in a value' => fn() => $cache->set('k', [$cache]),
    'many closures' => fn() => $cache->setMany(['fine' => 1, 'k' => fn() => 1]),
    'still nothing' => fn() => $cache->keys(),
    'few' => fn() => $cache->set('k'),
    'many' => fn() => $cache->get('k', 1, 2),
    'no array' => fn() => $cache->getMany('k'),
    'name' => fn() => $cache->get(ky: 'k'),
    'static' => fn() => Larder\Cache::get('k'),
    'new' => fn() => new Larder\Store,
    'new with arguments' => fn() => new Larder\Cache($store, 'c'),
    'constructor' => fn() => $cache->__construct(),
    'clone' => fn() => clone $store,
    'clone of a cache' => fn() => clone $cache,
    'serialize' => fn() => serialize([$store]),
    'unserialize' => fn() => unserialize('O:12:"Larder\Store":0:{}'),
    'unserialize with data' => fn() => unserialize('O:12:"Larder\Cache":1:{s:6:"engine";i:1;}'),
    'unserialize as C' => fn() => unserialize('C:12:"Larder\Cache":0:{}'),
    'property' => function () use ($cache) { $cache->other = 1; },
    'without constructor' => fn() => (new ReflectionClass('Larder\Cache'))->newInstanceWithoutConstructor(),
]);
foreach (['Store', 'Cache'] as $class) {
    $class = new ReflectionClass("Larder\\$class");
    same($class->name, [true, []], [$class->isFinal(), $class->getProperties()]);
    foreach ($class->getMethods() as $method) {
        same("type of $method->name", $method->name !== '__construct', $method->hasReturnType());
    }
}
// Harmless.
ob_start();
var_dump($store, $cache);
print_r($cache);
debug_zval_dump($cache);
echo $class, json_encode($store), var_export($cache, true), spl_object_id($cache);
ob_end_clean();
same('array', [], (array)$cache);
same('compare', true, $cache == $cache);
same('unset', [false, null], [isset($cache->x), $cache?->x ?? null]);
echo "-- exceptions\n";
foreach (['Larder\Exception', 'Larder\ConfigException', 'Larder\ValueException'] as $class) {
    echo $class, ': ', implode(' ', class_parents($class)), "\n";
    $own = new $class('mine', 3, new LogicException('before'));
    same('made by hand', ['mine', 3, 'before', __LINE__ - 1], [$own->getMessage(), $own->getCode(), $own->getPrevious()->getMessage(), $own->getLine()]);
}
function called_here($cache) {
    $cache->set('k', fn() => 1);
}
try {
    called_here($cache);
} catch (Larder\Exception $thrown) {
    echo basename($thrown->getFile()), ' ', __LINE__ - 5 - $thrown->getLine(), ' ', $thrown->getTrace()[1]['function'], "\n";
}
?>
--EXPECT--
no option: Larder\ConfigException: option 'server' is missing
unknown: Larder\ConfigException: there is no option 'near_byte'; …
no name: Larder\ConfigException: there is no option '5'; …
bad bytes: Larder\ConfigException: option 'near_bytes' must be a number of bytes such as 512K, 32M or 1G
bad type: Larder\ConfigException: option 'near_bytes' must be a string or a number
bool: Larder\ConfigException: option 'near_bytes' must be a string or a number
time: Larder\ConfigException: option 'max_staleness' must be a time of 0 to 3600 seconds
scheme: Larder\ConfigException: option 'server' must be a URL with one of redis://, rediss://, redis+unix://, redis-sentinel://, rediss-sentinel://, redis-cluster://, rediss-cluster://, local: or dir:
bytes: Larder\ConfigException: option 'server' must be a string or a number
nul: Larder\ConfigException: option 'server' must be an absolute path
secret: Larder\ConfigException: option 'server': the URL cannot be read
cache: none: Larder\ValueException: a cache name must have 1 to 200 bytes
cache: long: Larder\ValueException: a cache name must have 1 to 200 bytes
cache: nul: Larder\ValueException: a cache name must not contain control characters
cache: bytes: Larder\ValueException: a cache name must be UTF-8
cache: unknown: Larder\ValueException: a cache has no option 'tll'; the options are ttl, near and durable
cache: list: Larder\ValueException: a cache has no option ''; the options are ttl, near and durable
cache: ttl: Larder\ValueException: option 'ttl' must be an integer or null
cache: near: Larder\ValueException: option 'near' must be a boolean
key: null: Larder\ValueException: a key must be a string, not null
key: array: Larder\ValueException: a key must be a string, not array
key: float: Larder\ValueException: a key must be a string, not float
key: bool: Larder\ValueException: a key must be a string, not bool
key: object: Larder\ValueException: a key must be a string, not stdClass
key: long: Larder\ValueException: a key must have at most 65536 bytes; '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff…' has 65537
key: long, set: Larder\ValueException: a key must have at most 65536 bytes; 'kxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' has 65537
key: long, many: Larder\ValueException: a key must have at most 65536 bytes; 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' has 65537
nothing was set: []
closure: Larder\ValueException: Serialization of 'Closure' is not allowed
cache in a value: Larder\ValueException: Serialization of 'Larder\Cache' is not allowed
many closures: Larder\ValueException: Serialization of 'Closure' is not allowed
still nothing: []
few: ArgumentCountError: Larder\Cache::set() expects at least 2 arguments, 1 given
many: ArgumentCountError: Larder\Cache::get() expects at most 2 arguments, 3 given
no array: TypeError: Invalid value given for argument `keys`.
name: Error: Unknown named parameter $ky
static: Error: Non-static method Larder\Cache::get() cannot be called statically
new: Exception: You cannot instantiate this class from PHP.
new with arguments: Exception: You cannot instantiate this class from PHP.
constructor: Exception: You cannot instantiate this class from PHP.
clone: Error: Trying to clone an uncloneable object of class Larder\Store
clone of a cache: Error: Trying to clone an uncloneable object of class Larder\Cache
serialize: Exception: Serialization of 'Larder\Store' is not allowed
unserialize: Exception: Unserialization of 'Larder\Store' is not allowed
unserialize with data: Exception: Unserialization of 'Larder\Cache' is not allowed
unserialize as C: Exception: Unserialization of 'Larder\Cache' is not allowed
property: Error: Cannot create dynamic property Larder\Cache::$other
without constructor: ReflectionException: Class Larder\Cache is an internal class marked as final that cannot be instantiated without invoking its constructor
-- exceptions
Larder\Exception: Exception
Larder\ConfigException: Larder\Exception Exception
Larder\ValueException: Larder\Exception Exception
store-misuse.php 0 called_here
