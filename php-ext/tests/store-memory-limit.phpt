--TEST--
Reads that pass memory_limit end with PHP's ordinary fatal error, and shutdown functions run
--SKIPIF--
<?php if (getenv('USE_ZEND_ALLOC') === '0') die("skip needs PHP's own allocator"); ?>
--INI--
memory_limit=1024M
--FILE--
<?php
require __DIR__ . '/store.inc';
require __DIR__ . '/child.inc';
$directory = fresh_directory();
$server = "local:$directory/store?size=1G";
$cache = Larder\Store::open(['server' => $server])->cache('c');
class Row {
    public $a = 1;
    public ?array $list = null;
    public function __construct($list = null) { $this->list = $list; }
}
class Hooked {
    public $x;
    public function __serialize(): array { return [$this->x]; }
    public function __unserialize(array $data): void { [$this->x] = $data; }
}
$classes = 'class Row { public $a = 1; public ?array $list = null; } class Hooked { public $x; public function __unserialize(array $data): void { [$this->x] = $data; } }';
$many = 60000;
$values = [
    // No object twice, the same bytes.
    'shared objects' => fn() => array_map(fn($i) => (object)['a' => 1], array_fill(0, 8 * $many, 1)),
    'objects' => fn() => array_map(fn($i) => (object)['a' => $i, 'o' => (object)[$i]], range(1, $many)),
    'rows' => fn() => array_map(fn($i) => new Row([1]), range(1, 4 * $many)),
    'nested' => fn() => array_map(fn($i) => [[(object)[]], [(object)[]]], range(1, $many)),
    'gone' => fn() => unserialize(str_replace('Row', 'Wor', serialize(array_map(fn($i) => new Row([$i]), range(1, intdiv($many, 2)))))),
    'hooked' => fn() => array_map(function ($i) { $h = new Hooked; $h->x = [$i, [$i]]; return $h; }, range(1, intdiv($many, 2))),
    'reference' => function () use ($many) { $v = array_map(fn($i) => [$i], range(1, $many)); $v['r'] = &$v[0]; return $v; },
];
$small = [];
foreach ($values as $name => $make) {
    same("set $name", true, $cache->set($name, $make()));
}
for ($i = 0; $i < 100; $i++) {
    $small["small $i"] = array_map(fn($i) => (object)['a' => $i], range(1, 4000));
    $small["hooked $i"] = array_map(function ($i) { $h = new Hooked; $h->x = [$i]; return $h; }, range(1, 300));
}
same('set small', 200, $cache->setMany($small));
$small = implode(',', array_map(fn($i) => "'small $i','hooked $i'", range(0, 99)));
$open = "ini_set('memory_limit', '8M'); \$cache = Larder\\Store::open(['server' => '$server'])->cache('c'); $classes";
foreach (array_keys($values) as $name) {
    echo "get $name: ", child("$open \$value = \$cache->get('$name'); echo 'not reached';"), "\n";
    // Memory has it already.
    echo "hit $name: ", child("$open \$cache->has('$name'); \$value = \$cache->get('$name'); echo 'not reached';"), "\n";
}
echo 'getMany objects: ', child("$open \$value = \$cache->getMany(['none', 'objects', 'hooked 0']); echo 'not reached';"), "\n";
echo 'getMany: ', child("$open \$value = \$cache->getMany([$small]); echo 'not reached';"), "\n";
echo 'many gets: ', child("$open foreach ([$small] as \$key) { \$value[] = \$cache->get(\$key); } echo 'not reached';"), "\n";
echo 'inside a function of PHP: ', child("$open \$value = array_map([\$cache, 'get'], [$small]); echo 'not reached';"), "\n";
$keys = Larder\Store::open(['server' => $server])->cache('keys');
for ($i = 0; $i < 8; $i++) {
    $keys->setMany(array_combine(array_map(fn($j) => "$i $j " . str_repeat('k', 200), range(1, 10000)), range(1, 10000)));
}
echo 'keys: ', child("$open \$value = Larder\\Store::open(['server' => '$server'])->cache('keys')->keys(); echo 'not reached';"), "\n";
// After it, in shutdown functions, the cache is what it was.
echo 'afterwards: ', child("register_shutdown_function(function () { global \$cache; echo json_encode([\$cache->get('k'), \$cache->set('k', (object)[1]), \$cache->get('k'), count(\$cache->get('small 1'))]); }); $open \$value = \$cache->get('objects'); echo 'not reached';"), "\n";
// What fits is read.
echo 'fits: ', child("$open for (\$i = 0; \$i < 100; \$i++) { \$n = count(\$cache->get(\"small \$i\")); } echo \$n;"), "\n";
?>
--EXPECT--
get shared objects: 255: Fatal error: [limit] [shutdown]
hit shared objects: 255: Fatal error: [limit] [shutdown]
get objects: 255: Fatal error: [limit] [shutdown]
hit objects: 255: Fatal error: [limit] [shutdown]
get rows: 255: Fatal error: [limit] [shutdown]
hit rows: 255: Fatal error: [limit] [shutdown]
get nested: 255: Fatal error: [limit] [shutdown]
hit nested: 255: Fatal error: [limit] [shutdown]
get gone: 255: Fatal error: [limit] [shutdown]
hit gone: 255: Fatal error: [limit] [shutdown]
get hooked: 255: Fatal error: [limit] [shutdown]
hit hooked: 255: Fatal error: [limit] [shutdown]
get reference: 255: Fatal error: [limit] [shutdown]
hit reference: 255: Fatal error: [limit] [shutdown]
getMany objects: 255: Fatal error: [limit] [shutdown]
getMany: 255: Fatal error: [limit] [shutdown]
many gets: 255: Fatal error: [limit] [shutdown]
inside a function of PHP: 255: Fatal error: [limit] [shutdown]
keys: 255: Fatal error: [limit] [shutdown]
afterwards: 255: Fatal error: [limit] [shutdown][null,true,{"0":1},4000]
fits: 0: 4000[shutdown]
