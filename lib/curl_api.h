/*
 * libcurl, loaded (dlopen) when it is first needed: with the thirty libraries behind it
 * that takes 6 ms, which a command that asks the scheduler on this machine does not have.
 */
#ifndef STOKER_LIB_CURL_API_H
#define STOKER_LIB_CURL_API_H

#include <curl/curl.h>
#include "lib/error.h"

/* The functions that are used, found at run time. */
struct curl_api {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_setopt) easy_setopt;
	__typeof__(&curl_easy_getinfo) easy_getinfo;
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_easy_reset) easy_reset;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_multi_init) multi_init;
	__typeof__(&curl_multi_setopt) multi_setopt;
	__typeof__(&curl_multi_assign) multi_assign;
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_perform) multi_perform;
	__typeof__(&curl_multi_poll) multi_poll;
	__typeof__(&curl_multi_socket_action) multi_socket_action;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_multi_wakeup) multi_wakeup;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
};

/* Stays loaded until the process ends. */
bool curl_api_load(struct curl_api *api, struct error *err) MUST_CHECK;

#endif
