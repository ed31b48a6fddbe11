<?php
/**
 * As much of Moodle as the plugin touches, without a Moodle: enough to run its code in tests and demonstrations.
 *
 * Defines $CFG with directories below the system's temporary directory, loads the plugin and registers its classes.
 *
 * @license MIT OR Apache-2.0
 */

namespace {
    define('MOODLE_INTERNAL', true);
    define('PARAM_RAW', 'raw');
    define('PARAM_ALPHA', 'alpha');

    $GLOBALS['CFG'] = (object)[
        'dbhost' => 'db.example',
        'dbname' => 'moodle',
        'prefix' => 'mdl_',
        'dirroot' => '/no/moodle',
        'dataroot' => sys_get_temp_dir() . '/larder-standin-' . getmypid(),
    ];
    foreach (['cachedir' => 'cache', 'localcachedir' => 'localcache', 'tempdir' => 'temp'] as $name => $directory) {
        $GLOBALS['CFG']->$name = $GLOBALS['CFG']->dataroot . '/' . $directory;
    }

    /** Messages that debugging() was called with. */
    $GLOBALS['standin_debugging'] = [];

    function debugging(string $message = '', int $level = 0): bool {
        $GLOBALS['standin_debugging'][] = $message;
        return true;
    }

    /** The text of the plugin's language file, with its placeholders filled. */
    function get_string(string $identifier, string $component = '', $a = null): string {
        static $strings = null;
        if ($component !== 'cachestore_larder') {
            return "[[{$component}/{$identifier}]]";
        }
        if ($strings === null) {
            $string = [];
            require STANDIN_PLUGIN . '/lang/en/cachestore_larder.php';
            $strings = $string;
        }
        $text = $strings[$identifier];
        foreach (is_scalar($a) ? ['' => $a] : (array)$a as $name => $value) {
            $text = str_replace($name === '' ? '{$a}' : "{\$a->{$name}}", (string)$value, $text);
        }
        return $text;
    }

    function s($text): string {
        return htmlspecialchars((string)$text, ENT_QUOTES);
    }

    function format_float(float $number, int $decimals): string {
        return number_format($number, $decimals);
    }

    function userdate(int $time): string {
        return gmdate('Y-m-d H:i:s', $time);
    }

    class core_shutdown_manager {
        public static function register_function(callable $callback): void {
        }
    }

    class html_writer {
        public static function alist(array $items): string {
            return '<ul><li>' . implode('</li><li>', $items) . '</li></ul>';
        }

        public static function div(string $content, string $class): string {
            return "<div class=\"{$class}\">{$content}</div>";
        }

        public static function tag(string $name, string $content): string {
            return "<{$name}>{$content}</{$name}>";
        }
    }

    class moodleform {
        /** The arguments of the last call of set_data(). */
        public $data = [];

        public function set_data($data): void {
            $this->data = $data;
        }
    }
}

namespace core_cache {
    interface configurable_cache_interface {
        public static function config_get_configuration_array($data);
        public static function config_set_edit_form_data(\moodleform $editform, array $config);
    }

    interface key_aware_cache_interface {
        public function has($key);
        public function has_any(array $keys);
        public function has_all(array $keys);
    }

    interface lockable_cache_interface {
        public function acquire_lock($key, $ownerid);
        public function check_lock_state($key, $ownerid);
        public function release_lock($key, $ownerid);
    }

    interface searchable_cache_interface {
        public function find_all();
        public function find_by_prefix($prefix);
    }

    abstract class store {
        const SUPPORTS_MULTIPLE_IDENTIFIERS = 1;
        const SUPPORTS_DATA_GUARANTEE = 2;
        const SUPPORTS_NATIVE_TTL = 4;
        const IS_SEARCHABLE = 8;
        const DEREFERENCES_OBJECTS = 16;
        const MODE_APPLICATION = 1;
        const MODE_SESSION = 2;
        const MODE_REQUEST = 4;
        const IO_BYTES_NOT_SUPPORTED = -1;

        abstract public function __construct($name, array $configuration = []);
    }

    /** What a cache is for, with the properties that stores look at. */
    class definition {
        private function __construct(
            private string $id,
            private int $mode,
            private string $component,
            private string $area,
            private int $ttl = 0,
            private bool $dataguarantee = false,
        ) {
        }

        public static function load(string $id, array $details): self {
            return new self(
                $id,
                $details['mode'],
                $details['component'],
                $details['area'],
                $details['ttl'] ?? 0,
                $details['requiredataguarantee'] ?? false,
            );
        }

        public static function load_adhoc(int $mode, string $component, string $area): self {
            return new self("adhoc/{$component}_{$area}", $mode, $component, $area);
        }

        public function get_id(): string {
            return $this->id;
        }

        public function get_mode(): int {
            return $this->mode;
        }

        public function get_ttl(): int {
            return $this->ttl;
        }

        public function require_data_guarantee(): bool {
            return $this->dataguarantee;
        }

        public function generate_definition_hash(): string {
            return md5("{$this->mode} {$this->component} {$this->area}");
        }
    }

    /** Moodle's list of stores and definitions. Tests fill it. */
    class config {
        public static array $stores = [];
        public static array $definitions = [];

        public static function instance(): self {
            return new self();
        }

        public function get_all_stores(): array {
            return self::$stores;
        }

        public function get_definitions(): array {
            return self::$definitions;
        }
    }
}

namespace core_cache\form {
    /** Records the fields that a form adds. */
    class cachestore_addinstance_form {
        protected $_form;
        protected $_customdata;

        public function __construct(?string $store = null) {
            $this->_customdata = ['store' => $store];
            $this->_form = new class {
                public array $fields = [];

                public function addElement(string $type, string $name, string $label = '', $options = null): void {
                    $this->fields[$name] = $type;
                }

                public function __call(string $method, array $arguments): void {
                    if ($method !== 'registerNoSubmitButton' && !isset($this->fields[$arguments[0]])) {
                        throw new \LogicException("{$method}() for the unknown field {$arguments[0]}");
                    }
                    if ($method === 'addHelpButton') {
                        \get_string($arguments[1], $arguments[2]);
                        \get_string($arguments[1] . '_help', $arguments[2]);
                    }
                }
            };
            $this->configuration_definition();
        }

        /** Name of each field and type of its element. */
        public function fields(): array {
            return $this->_form->fields;
        }
    }
}

namespace core\check {
    abstract class check {
        abstract public function get_result(): result;
    }

    class result {
        const NA = 'na';
        const OK = 'ok';
        const WARNING = 'warning';
        const ERROR = 'error';
        const CRITICAL = 'critical';

        public function __construct(public string $status, public string $summary, public string $details = '') {
        }
    }
}

namespace {
    define('STANDIN_PLUGIN', dirname(__DIR__, 3) . '/moodle-plugin');

    spl_autoload_register(function (string $class): void {
        $file = STANDIN_PLUGIN . '/classes/' . strtr(substr($class, strlen('cachestore_larder\\')), '\\', '/') . '.php';
        if (str_starts_with($class, 'cachestore_larder\\') && is_file($file)) {
            require $file;
        }
    });
    require STANDIN_PLUGIN . '/lib.php';
    require STANDIN_PLUGIN . '/addinstanceform.php';
}
