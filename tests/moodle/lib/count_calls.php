<?php
// Makes a store class count the calls it gets: php count_calls.php STORE LIB_PHP.
//
// The class cachestore_STORE is renamed and a subclass takes its name, whose operations count and pass on.
// Each process adds its counts as one line to the file that LARDER_TEST_CALLS names, and the milliseconds that they took
// together to the one beside it that ends in ".times". The round trips of Larder go to the one that ends in ".trips".

[, $store, $file] = $argv;
$operations = ['get', 'get_many', 'set', 'set_many', 'delete', 'delete_many', 'has', 'has_any', 'has_all', 'purge',
    'find_all', 'find_by_prefix', 'acquire_lock', 'release_lock', 'check_lock_state'];

$code = file_get_contents($file);
$class = "cachestore_$store";
$code = preg_replace("/^(?:final )?class $class\\b/m", "class {$class}_uncounted", $code, 1, $renamed);
if ($renamed !== 1) {
    fwrite(STDERR, "$file does not declare the class $class.\n");
    exit(1);
}

// Operations may stand in traits of the plugin.
$source = implode('', array_map('file_get_contents', [$file, ...glob(dirname($file) . '/classes/*.php')]));
$methods = '';
foreach ($operations as $name) {
    if (preg_match("/public function $name\\(([^)]*)\\)\\s*(:[^{]*)?\\{/", $source, $match)) {
        $returntype = trim($match[2] ?? '');
        $methods .= "    public function $name($match[1])$returntype {\n"
            . "        larder_test_calls::count('$name');\n"
            . "        try {\n"
            . "            return parent::$name(...func_get_args());\n"
            . "        } finally {\n"
            . "            larder_test_calls::done();\n"
            . "        }\n    }\n";
    }
}

if ($store === 'larder') {
    $methods .= "    public function __construct(...\$arguments) {\n"
        . "        parent::__construct(...\$arguments);\n"
        . "        larder_test_calls::follow(\$this->store);\n    }\n";
}

$code .= <<<PHP


class $class extends {$class}_uncounted {
$methods}

// Another store of the tree may count, too.
if (!class_exists('larder_test_calls', false)) {
    class larder_test_calls {
        private static array \$counts = [];
        private static int \$nested = 0;
        private static int \$began = 0;
        private static int \$nanoseconds = 0;

        public static function count(string \$operation): void {
            if (!self::\$counts) {
                register_shutdown_function(static function (): void {
                    file_put_contents(getenv('LARDER_TEST_CALLS'), json_encode(self::\$counts) . "\\n", FILE_APPEND | LOCK_EX);
                    file_put_contents(getenv('LARDER_TEST_CALLS') . '.times', self::\$nanoseconds / 1e6 . "\\n", FILE_APPEND | LOCK_EX);
                });
            }
            self::\$counts[\$operation] = (self::\$counts[\$operation] ?? 0) + 1;
            if (self::\$nested++ === 0) {
                self::\$began = hrtime(true);
            }
        }

        public static function follow(?object \$store): void {
            static \$before = null;
            if (\$store && \$before === null) {
                \$before = \$store->stats()['round_trips'];
                register_shutdown_function(static function () use (\$store, \$before): void {
                    \$trips = \$store->stats()['round_trips'] - \$before;
                    file_put_contents(getenv('LARDER_TEST_CALLS') . '.trips', \$trips . "\\n", FILE_APPEND | LOCK_EX);
                });
            }
        }

        public static function done(): void {
            if (--self::\$nested === 0) {
                self::\$nanoseconds += hrtime(true) - self::\$began;
            }
        }
    }
}

PHP;

// A new file, because the old one may be a hard link to the original.
unlink($file);
file_put_contents($file, $code);
