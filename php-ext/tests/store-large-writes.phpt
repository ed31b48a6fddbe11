--TEST--
Writes of values that share tables and strings, and are large once they are written: bounded by memory_limit
--SKIPIF--
<?php if (getenv('USE_ZEND_ALLOC') === '0') die("skip needs PHP's own allocator"); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
require __DIR__ . '/child.inc';
$server = 'local:' . fresh_directory() . '/store?size=256M';
$setup = "ini_set('memory_limit', '32M'); \$cache = Larder\\Store::open(['server' => '$server'])->cache('c');" . <<<'PHP'
    class Hooked { public $x; public function __serialize(): array { return [$this->x]; } public function __unserialize(array $data): void { [$this->x] = $data; } }
    register_shutdown_function(function () {
        preg_match('/VmHWM:\s*(\d+)/', file_get_contents('/proc/self/status'), $most);
        echo $most[1] < 150 << 10 ? '[small]' : "[$most[1] kB]", $GLOBALS['cache']->get('k', '[nothing]');
    });
    /** A table whose elements are all the same table, and so on. */
    function deep($value, int $levels, int $width) {
        for (; $levels > 0; $levels--) {
            $value = array_fill(0, $width, $value);
        }
        return $value;
    }
    function keyed($value, int $levels, int $width) {
        for (; $levels > 0; $levels--) {
            $value = array_fill(7, $width, $value);
        }
        return $value;
    }
    PHP;
$writes = [
    'tables' => 'deep(1 << 40, 6, 30)',
    'maps' => 'keyed(1 << 40, 6, 30)',
    'long strings' => "array_fill(0, 3000, str_repeat('x', 1 << 20))",
    'long strings in tables' => "deep(str_repeat('x', 1000), 4, 30)",
    'rows' => "deep(['a' => 1, 'b' => str_repeat('y', 300)], 5, 30)",
    'a hook first' => '[$h = new Hooked, deep(1 << 40, 6, 30)]',
    'a hook last' => '[deep(1 << 40, 6, 30), $h = new Hooked]',
    'a reference' => '(function () { $v = [deep(1 << 40, 6, 30), 1]; $v[2] = &$v[1]; return $v; })()',
];
foreach ($writes as $name => $value) {
    echo "set $name: ", child("$setup \$value = $value; \$cache->set('k', \$value); echo 'not reached';"), "\n";
}
echo 'setMany: ', child("$setup \$value = deep(str_repeat('x', 1000), 3, 20); for (\$i = 0; \$i < 200; \$i++) \$many[] = \$value; \$cache->setMany(\$many); echo 'not reached';"), "\n";
echo 'setMany of one: ', child("$setup \$cache->setMany(['k' => deep(1 << 40, 6, 30)]); echo 'not reached';"), "\n";
// What fits is written, without a limit as well.
echo 'fits: ', child("$setup \$value = deep(str_repeat('x', 1000), 3, 20); echo json_encode([\$cache->set('k', \$value), \$cache->get('k') === \$value, \$cache->delete('k')]);"), "\n";
echo 'no limit: ', child("$setup ini_set('memory_limit', '-1'); \$value = deep(str_repeat('x', 1000), 3, 36); echo json_encode([\$cache->set('k', \$value), \$cache->get('k') === \$value, \$cache->delete('k')]);"), "\n";
?>
--EXPECT--
set tables: 255: Fatal error: [limit] [shutdown][small][nothing]
set maps: 255: Fatal error: [limit] [shutdown][small][nothing]
set long strings: 255: Fatal error: [limit] [shutdown][small][nothing]
set long strings in tables: 255: Fatal error: [limit] [shutdown][small][nothing]
set rows: 255: Fatal error: [limit] [shutdown][small][nothing]
set a hook first: 255: Fatal error: [limit] [shutdown][small][nothing]
set a hook last: 255: Fatal error: [limit] [shutdown][small][nothing]
set a reference: 255: Fatal error: [limit] [shutdown][small][nothing]
setMany: 255: Fatal error: [limit] [shutdown][small][nothing]
setMany of one: 255: Fatal error: [limit] [shutdown][small][nothing]
fits: 0: [true,true,true][shutdown][small][nothing]
no limit: 0: [true,true,true][shutdown][small][nothing]
