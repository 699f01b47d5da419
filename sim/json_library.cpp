// Boost.JSON without its shared library: the whole implementation is compiled into this one file.
#include <boost/json/src.hpp>
