#include "lib/curl_api.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct curl_symbol {
	const char *name;
	size_t offset;
};

#define CURL_SYMBOL(field)                                                                                             \
	{                                                                                                              \
		"curl_" #field, offsetof(struct curl_api, field)                                                       \
	}

static const struct curl_symbol curl_symbols[] = {
	CURL_SYMBOL(global_init),     CURL_SYMBOL(easy_init),        CURL_SYMBOL(easy_setopt),
	CURL_SYMBOL(easy_getinfo),    CURL_SYMBOL(easy_strerror),    CURL_SYMBOL(easy_reset),
	CURL_SYMBOL(easy_cleanup),    CURL_SYMBOL(multi_init),       CURL_SYMBOL(multi_setopt),
	CURL_SYMBOL(multi_assign),    CURL_SYMBOL(multi_add_handle), CURL_SYMBOL(multi_remove_handle),
	CURL_SYMBOL(multi_perform),   CURL_SYMBOL(multi_poll),       CURL_SYMBOL(multi_socket_action),
	CURL_SYMBOL(multi_info_read), CURL_SYMBOL(multi_cleanup),    CURL_SYMBOL(slist_append),
	CURL_SYMBOL(slist_free_all),  CURL_SYMBOL(multi_wakeup),
};

/* dlsym answers void *, which ISO C does not convert to a function: copied instead. */
bool curl_api_load(struct curl_api *api, struct error *err)
{
	void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return error_set(err, ERR_SYSTEM, "install libcurl (Debian: apt-get install libcurl4)",
				 "cannot load libcurl, which https and webhooks need: %s", dlerror());
	for (size_t i = 0; i < ARRAY_LEN(curl_symbols); i++) {
		void *symbol = dlsym(library, curl_symbols[i].name);
		if (!symbol)
			return error_set(err, ERR_SYSTEM, "install libcurl 7.85 or newer", "libcurl has no %s",
					 curl_symbols[i].name);
		memcpy((char *)api + curl_symbols[i].offset, &symbol, sizeof symbol);
	}
	api->global_init(CURL_GLOBAL_SSL);
	return true;
}
